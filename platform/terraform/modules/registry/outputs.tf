output "address" {
  description = "The registry's host, as images are named by."
  value       = "${local.account}.dkr.ecr.${local.region}.amazonaws.com"
}

output "repository_arns" {
  description = "ARNs of the repositories, by what they hold."
  value       = { for name in keys(local.repositories) : name => "arn:${local.partition}:ecr:${local.region}:${local.account}:repository/${aws_ecr_repository.this[name].name}" }
}

output "repository_urls" {
  description = "Where each is pushed to and pulled from."
  value       = { for name, repository in aws_ecr_repository.this : name => repository.repository_url }
}
