output "roles" {
  description = "ARNs by role: what the tenant module associates with service accounts, the reader that pools' consumers assume, and what the add-ons that are on have."
  value = merge(
    {
      producer      = aws_iam_role.producer.arn
      consumer      = aws_iam_role.consumer.arn
      pool-producer = aws_iam_role.pool_producer.arn
      pool-consumer = aws_iam_role.pool_consumer.arn
      tenant-reader = aws_iam_role.tenant_reader.arn
      tf-runner     = aws_iam_role.tf_runner.arn
    },
    { for name, role in aws_iam_role.platform : name => role.arn },
    { for role in aws_iam_role.cluster_admin : "cluster-admin" => role.arn },
    { for role in aws_iam_role.karpenter_node : "karpenter-node" => role.arn },
  )
}

output "karpenter_node_role_name" {
  description = "The role of the nodes that Karpenter starts; null without Karpenter."
  value       = one(aws_iam_role.karpenter_node[*].name)
}
