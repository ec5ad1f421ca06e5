"""Quotas of AWS and bounds of ours, each with its unit and its source.

Quotas are constants, not settings: nobody can raise them by an environment variable.
"""

from __future__ import annotations

from typing import Final

#: Entries of one SendMessageBatch, DeleteMessageBatch or ChangeMessageVisibilityBatch, and
#: messages of one ReceiveMessage. SQS developer guide, "Amazon SQS message quotas".
SQS_BATCH_ENTRIES: Final = 10

#: Bytes of all messages of one SendMessageBatch, attributes included (1 MiB since 2025-08).
#: SQS API reference, SendMessageBatch.
SQS_BATCH_BYTES: Final = 1_048_576

#: Bytes of one message, attributes included, on queues that hashicorp/aws before 6.8 makes.
DEFAULT_MAX_MESSAGE_BYTES: Final = 262_144

#: Bytes of one message that a queue can be made to take. SQS, "MaximumMessageSize".
SQS_MAX_MESSAGE_BYTES: Final = 1_048_576

#: Seconds that one ReceiveMessage can wait. SQS, "WaitTimeSeconds".
SQS_MAX_WAIT_SECONDS: Final = 20

#: Seconds from its receive after which a message cannot be kept invisible (12 h).
#: SQS API reference, ChangeMessageVisibility.
SQS_MAX_VISIBILITY_SECONDS: Final = 43_200

#: Seconds from its receive after which we stop extending a message: an hour before SQS would
#: refuse, so that one that is stuck comes back to somebody else (11 h).
EXTEND_AT_MOST_SECONDS: Final = 39_600

#: Characters of a queue's name. SQS, "Queue name".
SQS_QUEUE_NAME_CHARACTERS: Final = 80

#: Characters of a table's name. DynamoDB, "Naming rules".
DYNAMODB_TABLE_NAME_CHARACTERS: Final = 255

#: Statements of one BatchExecuteStatement. DynamoDB, "PartiQL batch operations".
PARTIQL_BATCH_STATEMENTS: Final = 25

#: Bytes of one BatchExecuteStatement as sent; beyond it the whole call is refused.
PARTIQL_BATCH_BYTES: Final = 4_194_304

#: Bytes of one item: names and values in UTF-8 (400 KB). DynamoDB, "Item size".
DYNAMODB_ITEM_BYTES: Final = 409_600

#: Keys of one BatchGetItem. DynamoDB API reference.
BATCH_GET_KEYS: Final = 100

#: Bytes of one write unit. DynamoDB, "Write request units".
WRITE_UNIT_BYTES: Final = 1_024

#: Seconds a role that was assumed from a role can be used for (1 h).
#: IAM user guide, "Role chaining".
CHAINED_ROLE_SECONDS: Final = 3_600

#: Bytes of a request body, ours: what the largest message and a batch need.
BODY_BYTES: Final = 1_048_576

#: Messages of one POST /messages/batch, ours.
BATCH_MESSAGES: Final = 100

#: Levels of nesting in a body, ours: enough for real events, few enough for every reader.
JSON_LEVELS: Final = 64

#: Characters of a message's type, ours.
TYPE_CHARACTERS: Final = 128

#: Characters of an Idempotency-Key, ours.
IDEMPOTENCY_KEY_CHARACTERS: Final = 255

#: Messages in one page of GET /messages, ours.
PAGE_MESSAGES: Final = 100

#: Bytes of a request's line and headers together, ours: what load balancers let through.
HEAD_BYTES: Final = 65_536

#: Headers of one request, ours.
HEAD_FIELDS: Final = 100

#: How long a client may take to send them, from their first byte on (10 s), ours.
HEAD_SECONDS: Final = 10.0
