"""The HTTP service: webhooks in, raw records out, answered once the brokers have them."""
