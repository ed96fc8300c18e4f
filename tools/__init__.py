"""Tools for building and developing Sternpost: code generation and compilation."""
