"""The Avro schemas of track events, every version, and the encoder that is generated from the newest."""
