output "name" {
  description = "The cluster."
  value       = aws_eks_cluster.this.name
}

output "arn" {
  description = "Its ARN."
  value       = aws_eks_cluster.this.arn
}

output "endpoint" {
  description = "The address of its API server."
  value       = aws_eks_cluster.this.endpoint
}

output "certificate_authority" {
  description = "Who signed the API server's certificate, in base64."
  value       = aws_eks_cluster.this.certificate_authority[0].data
}

output "security_group_id" {
  description = "The group that EKS made for control plane and nodes."
  value       = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
}

output "oidc_issuer" {
  description = "Who issues the tokens of service accounts."
  value       = aws_eks_cluster.this.identity[0].oidc[0].issuer
}

output "node_role_name" {
  description = "The role of the managed group's nodes."
  value       = aws_iam_role.system_node.name
}

output "node_role_arn" {
  description = "Its ARN."
  value       = aws_iam_role.system_node.arn
}

output "kms_key_arn" {
  description = "The key of the cluster's secrets."
  value       = aws_kms_key.secrets.arn
}
