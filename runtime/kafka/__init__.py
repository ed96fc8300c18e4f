"""The one Kafka layer: makes every client, and translates the client library's errors.

| module                                           | what it is                                              |
| `config`                                         | what Sternpost sets for every client, and record sizes  |
| `properties`                                     | librdkafka's properties, and checks of users'           |
| `clients`                                        | makes every client, with one log and one error callback |
| `msk_iam`                                        | tokens for Amazon MSK                                   |
| `admin`                                          | KafkaAdmin: topics, configurations, groups, ACLs;       |
|                                                  | the retry of requests                                   |
| `group_offsets`                                  | a group's committed offsets, without joining it         |
| `range_consumer`                                 | reads ranges of topics outside of any group             |
| `transactional_producer`, `command_transactions` | transactions, for the processor and for commands        |
| `message_headers`                                | the headers of a message that may come from anybody     |
| `synchronous_producer`                           | one record at a time, for checks                        |
| `errors`                                         | what errors mean, and after which a request is retried  |

Three modules use a client of theirs directly, since every record passes through it: ingest/publisher.py, and the
consumers of the processor (group_consumer.py, deduplication/state_restore.py). import-linter holds this.
"""
