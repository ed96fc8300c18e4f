"""Customer.io's reporting webhooks: signature, event id and person, lossless JSON, timestamps."""
