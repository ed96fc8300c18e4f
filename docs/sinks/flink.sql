SET 'execution.checkpointing.interval' = '1 min';

CREATE TABLE events (
  `type` STRING NOT NULL,
  `event` STRING NOT NULL,
  `messageId` STRING NOT NULL,
  `channel` STRING NOT NULL,
  `userId` STRING,
  `anonymousId` STRING,
  `timestamp` TIMESTAMP(3) NOT NULL,
  `originalTimestamp` TIMESTAMP(3),
  `sentAt` TIMESTAMP(3),
  `receivedAt` TIMESTAMP(3) NOT NULL,
  `context` ROW<
    `library` ROW<`name` STRING NOT NULL, `version` STRING NOT NULL> NOT NULL,
    `integration` ROW<`name` STRING NOT NULL> NOT NULL,
    `sourceType` STRING NOT NULL,
    `sourceId` STRING NOT NULL,
    `origin` ROW<`topic` STRING, `partition` INT, `offset` BIGINT> NOT NULL,
    `traits` ROW<`email` STRING, `phone` STRING, `cioId` STRING> NOT NULL> NOT NULL,
  `integrations` MAP<STRING NOT NULL, BOOLEAN NOT NULL> NOT NULL,
  `properties` ROW<
    `objectType` STRING,
    `metric` STRING,
    `eventId` STRING,
    `deliveryId` STRING,
    `actionId` BIGINT,
    `parentActionId` BIGINT,
    `broadcastId` BIGINT,
    `triggerId` BIGINT,
    `campaignId` BIGINT,
    `triggerEventId` STRING,
    `journeyId` STRING,
    `newsletterId` BIGINT,
    `contentId` BIGINT,
    `transactionalMessageId` STRING,
    `type` STRING,
    `emailSubject` STRING,
    `content` STRING,
    `headers` MAP<STRING NOT NULL, ARRAY<STRING NOT NULL> NOT NULL>,
    `reason` STRING,
    `link` ROW<`url` STRING, `id` BIGINT> NOT NULL,
    `deviceId` STRING,
    `devicePlatform` STRING,
    `recipients` ARRAY<ROW<`device_id` STRING, `device_platform` STRING, `failure_message` STRING> NOT NULL>,
    `recipient` STRING,
    `to` STRING,
    `inboundEventId` STRING,
    `trackedResponse` STRING,
    `proxied` BOOLEAN,
    `prefetched` BOOLEAN,
    `synthetic` BOOLEAN,
    `machine` BOOLEAN> NOT NULL
) WITH (
  'connector' = 'kafka',
  'topic' = 'rudderstack.events',
  'properties.bootstrap.servers' = 'kafka:9092',
  'properties.group.id' = 'flink',
  'properties.isolation.level' = 'read_committed',
  'scan.startup.mode' = 'earliest-offset',
  'value.format' = 'avro-confluent',
  'value.avro-confluent.url' = 'http://registry:8081'
);

-- Any table can take the place of this one; the files are complete at each checkpoint.
CREATE TABLE files WITH (
  'connector' = 'filesystem',
  'path' = 'file:///var/lib/flink/events',
  'format' = 'json'
) LIKE events (EXCLUDING OPTIONS);

INSERT INTO files SELECT * FROM events;
