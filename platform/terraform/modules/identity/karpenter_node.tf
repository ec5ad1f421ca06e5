# What a node that Karpenter starts is: it joins this cluster, gives its pods their identities, and
# pulls images. Addresses of pods are the VPC CNI's own role's, and nobody signs in to a node.

resource "aws_iam_role" "karpenter_node" {
  count = contains(var.addons, "karpenter") ? 1 : 0

  name                 = "${var.environment}-tenantry-karpenter-node"
  description          = "Nodes that Karpenter starts."
  tags                 = local.tags
  permissions_boundary = var.permissions_boundary

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Nodes"
      Effect    = "Allow"
      Principal = { Service = "ec2.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "karpenter_node" {
  count = contains(var.addons, "karpenter") ? 1 : 0

  name = "access"
  role = aws_iam_role.karpenter_node[0].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "JoinTheCluster"
        Effect   = "Allow"
        Action   = ["eks:DescribeCluster", "eks-auth:AssumeRoleForPodIdentity"]
        Resource = local.cluster
      },
      {
        # Its own name, and how many pods its type takes. They take no resource.
        Sid       = "KnowItself"
        Effect    = "Allow"
        Action    = ["ec2:DescribeInstances", "ec2:DescribeInstanceTypes"]
        Resource  = "*"
        Condition = { StringEquals = local.in_region }
      },
      {
        # It takes no resource; a node pulls from the environment's region and the registry's.
        Sid       = "SignInToRegistry"
        Effect    = "Allow"
        Action    = "ecr:GetAuthorizationToken"
        Resource  = "*"
        Condition = { StringEquals = { "aws:RequestedRegion" = distinct([local.region, coalesce(var.registry.region, local.region)]) } }
      },
      {
        # Ours; and EKS's own for its add-ons, which are in another account of AWS in each region.
        Sid    = "Pull"
        Effect = "Allow"
        Action = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        Resource = [
          local.repositories,
          "arn:${local.partition}:ecr:${local.region}:*:repository/amazon/*",
          "arn:${local.partition}:ecr:${local.region}:*:repository/amazon-k8s-cni*",
          "arn:${local.partition}:ecr:${local.region}:*:repository/eks/*",
        ]
      },
    ]
  })
}
