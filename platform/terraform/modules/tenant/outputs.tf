output "queue_url" {
  description = "The queue."
  value       = one(aws_sqs_queue.messages[*].url)
}

output "dead_letter_queue_url" {
  description = "The dead-letter queue."
  value       = one(aws_sqs_queue.dead_letters[*].url)
}

output "table_name" {
  description = "The table."
  value       = one(aws_dynamodb_table.messages[*].name)
}
