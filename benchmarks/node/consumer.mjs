// bbc/sqs-consumer as its users would run it: batches of ten, written by BatchWriteItem, and
// deleted by the library in one call. Four consumers, as ours holds four polls.

import { createServer } from "node:http";
import { BatchWriteItemCommand, DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { SQSClient } from "@aws-sdk/client-sqs";
import { Consumer } from "sqs-consumer";

const { QUEUE_URL, TABLE_NAME, WAIT_SECONDS, PORT } = process.env;
// Queue URLs name the engine; calls go where AWS_ENDPOINT_URL says.
const sqs = new SQSClient({ useQueueUrlAsEndpoint: false });
const dynamodb = new DynamoDBClient({});

function put(body) {
  const envelope = JSON.parse(body);
  return {
    PutRequest: {
      Item: {
        tenant_id: { S: envelope.tenant_id },
        message_id: { S: envelope.message_id },
        type: { S: envelope.type },
        payload: { S: JSON.stringify(envelope.payload) },
        accepted_at: { S: envelope.accepted_at },
        stored_at: { S: new Date().toISOString() },
      },
    },
  };
}

async function store(messages) {
  let pending = { [TABLE_NAME]: messages.map((message) => put(message.Body)) };
  while (pending && Object.keys(pending).length > 0) {
    const answer = await dynamodb.send(new BatchWriteItemCommand({ RequestItems: pending }));
    pending = answer.UnprocessedItems;
  }
  return messages;
}

for (let number = 0; number < 4; number += 1) {
  const consumer = Consumer.create({
    queueUrl: QUEUE_URL,
    sqs,
    batchSize: 10,
    waitTimeSeconds: Number(WAIT_SECONDS),
    handleMessageBatch: store,
  });
  consumer.on("error", (error) => console.error(error.message));
  consumer.on("processing_error", (error) => console.error(error.message));
  consumer.start();
}

createServer((_, response) => response.end("ok")).listen(Number(PORT), "127.0.0.1");
