output "roles" {
  description = "ARNs by role: what the tenant module associates with service accounts, and the reader that pools' consumers assume."
  value = {
    producer      = aws_iam_role.producer.arn
    consumer      = aws_iam_role.consumer.arn
    pool-producer = aws_iam_role.pool_producer.arn
    pool-consumer = aws_iam_role.pool_consumer.arn
    tenant-reader = aws_iam_role.tenant_reader.arn
    tf-runner     = aws_iam_role.tf_runner.arn
  }
}
