# Who administers the cluster: by an access entry that the cluster module makes for this role. In AWS
# it sees the cluster, and changes nothing.

resource "aws_iam_role" "cluster_admin" {
  count = length(var.admins) > 0 ? 1 : 0

  name                 = "${var.environment}-tenantry-cluster-admin"
  description          = "Administers the cluster; assumed by the admins that the environment names."
  tags                 = local.tags
  permissions_boundary = var.permissions_boundary

  max_session_duration = 3600
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "NamedAdmins"
      Effect    = "Allow"
      Principal = { AWS = sort(var.admins) }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "cluster_admin" {
  count = length(var.admins) > 0 ? 1 : 0

  name = "access"
  role = aws_iam_role.cluster_admin[0].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      # For kubectl's configuration, and for what the console shows of the cluster.
      Sid      = "SeeTheCluster"
      Effect   = "Allow"
      Action   = ["eks:AccessKubernetesApi", "eks:DescribeCluster"]
      Resource = local.cluster
    }]
  })
}
