# Roles without which there is no cluster. Those of what runs in it are modules/identity's.

locals {
  managed = "arn:${local.partition}:iam::aws:policy"

  # A service of AWS, for this account's cluster alone.
  node_trust = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "Nodes"
      Effect    = "Allow"
      Principal = { Service = "ec2.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })

  # Pods of kube-system, by their service account.
  pod_trusts = {
    for account in ["aws-node", "ebs-csi-controller-sa"] : account => jsonencode({
      Version = "2012-10-17"
      Statement = [{
        Sid       = "PodsOfThisCluster"
        Effect    = "Allow"
        Principal = { Service = "pods.eks.amazonaws.com" }
        Action    = ["sts:AssumeRole", "sts:TagSession"]
        Condition = {
          StringEquals = {
            "aws:RequestTag/eks-cluster-arn"            = aws_eks_cluster.this.arn
            "aws:RequestTag/kubernetes-namespace"       = "kube-system"
            "aws:RequestTag/kubernetes-service-account" = account
          }
        }
      }]
    })
  }
}

resource "aws_iam_role" "control_plane" {
  name                 = "${var.environment}-tenantry-control-plane"
  description          = "EKS, for the cluster ${var.environment}."
  permissions_boundary = var.permissions_boundary

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "EksOfThisAccount"
      Effect    = "Allow"
      Principal = { Service = "eks.amazonaws.com" }
      Action    = ["sts:AssumeRole", "sts:TagSession"]
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })
}

resource "aws_iam_role_policy_attachment" "control_plane" {
  role       = aws_iam_role.control_plane.name
  policy_arn = "${local.managed}/AmazonEKSClusterPolicy"
}

resource "aws_iam_role_policy" "control_plane" {
  name = "secrets-key"
  role = aws_iam_role.control_plane.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid      = "SecretsKey"
      Effect   = "Allow"
      Action   = ["kms:Encrypt", "kms:Decrypt", "kms:DescribeKey", "kms:CreateGrant", "kms:ListGrants"]
      Resource = aws_kms_key.secrets.arn
    }]
  })
}

resource "aws_iam_role" "system_node" {
  name                 = "${var.environment}-tenantry-system-node"
  description          = "Nodes of the managed group: they join, and pull images."
  assume_role_policy   = local.node_trust
  permissions_boundary = var.permissions_boundary
}

# Neither networking nor disks: aws-node and the CSI driver have roles of their own.
resource "aws_iam_role_policy_attachment" "system_node" {
  for_each = toset(["AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly", "AmazonSSMManagedInstanceCore"])

  role       = aws_iam_role.system_node.name
  policy_arn = "${local.managed}/${each.key}"
}

resource "aws_iam_role" "vpc_cni" {
  name                 = "${var.environment}-tenantry-vpc-cni"
  description          = "Gives pods their addresses."
  assume_role_policy   = local.pod_trusts["aws-node"]
  permissions_boundary = var.permissions_boundary
}

resource "aws_iam_role_policy_attachment" "vpc_cni" {
  role       = aws_iam_role.vpc_cni.name
  policy_arn = "${local.managed}/AmazonEKS_CNI_Policy"
}

resource "aws_iam_role" "ebs_csi" {
  name                 = "${var.environment}-tenantry-ebs-csi"
  description          = "Makes and attaches disks of pods."
  assume_role_policy   = local.pod_trusts["ebs-csi-controller-sa"]
  permissions_boundary = var.permissions_boundary
}

resource "aws_iam_role_policy_attachment" "ebs_csi" {
  role       = aws_iam_role.ebs_csi.name
  policy_arn = "${local.managed}/service-role/AmazonEBSCSIDriverPolicy"
}
