# Flux reads charts and modules from ECR, and the list of a chart's versions.

locals {
  flux = {
    addon       = "flux"
    description = "Reads charts, modules and their versions from the registry."
    namespace   = "flux-system"
    accounts    = ["source-controller", "image-reflector-controller"]
    statements = jsonencode([
      {
        # It takes no resource; what it gives opens what the next statement says.
        Sid       = "SignInToRegistry"
        Effect    = "Allow"
        Action    = "ecr:GetAuthorizationToken"
        Resource  = "*"
        Condition = { StringEquals = { "aws:RequestedRegion" = coalesce(var.registry.region, local.region) } }
      },
      {
        Sid      = "Pull"
        Effect   = "Allow"
        Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:ListImages"]
        Resource = local.repositories
      },
    ])
  }
}
