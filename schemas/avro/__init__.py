"""Every version of the track event's Avro schema, and the encoder that is generated from the newest."""
