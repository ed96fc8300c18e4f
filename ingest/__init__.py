"""The HTTP service: it writes each webhook to the raw topic and answers when the brokers have acknowledged it."""
