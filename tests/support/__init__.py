"""Servers, clients, doubles and builders that several tests share."""
