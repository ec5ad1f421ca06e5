# The cluster without AWS.

mock_provider "aws" {
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_resource "aws_iam_role" {
    defaults = { arn = "arn:aws:iam::123456789012:role/a-role" }
  }
  mock_resource "aws_kms_key" {
    defaults = { arn = "arn:aws:kms:eu-central-1:123456789012:key/1" }
  }
  mock_resource "aws_launch_template" {
    defaults = { id = "lt-00000000000000001", latest_version = 1 }
  }
  mock_resource "aws_eks_cluster" {
    defaults = {
      arn                   = "arn:aws:eks:eu-central-1:123456789012:cluster/dev"
      endpoint              = "https://1.gr7.eu-central-1.eks.amazonaws.com"
      certificate_authority = [{ data = "Y2E=" }]
      identity              = [{ oidc = [{ issuer = "https://oidc.eks.eu-central-1.amazonaws.com/id/1" }] }]
    }
  }
}

variables {
  environment = "dev"
  kubernetes = {
    version             = "1.35"
    service_cidr        = "172.20.0.0/16"
    public_access_cidrs = []
    log_days            = 14
    viewers             = ["arn:aws:iam::123456789012:role/viewer"]
    operators           = ["arn:aws:iam::123456789012:role/operator"]
  }
  addons = {
    vpc-cni                = "v1.21.1-eksbuild.3"
    coredns                = "v1.13.2-eksbuild.1"
    kube-proxy             = "v1.35.0-eksbuild.2"
    eks-pod-identity-agent = "v1.3.10-eksbuild.3"
    aws-ebs-csi-driver     = "v1.57.1-eksbuild.1"
    metrics-server         = "v0.8.0-eksbuild.3"
  }
  system_nodes = {
    image          = "bottlerocket"
    instance_types = ["m7g.large"]
    minimum        = 2
    maximum        = 4
    volume_gib     = 40
  }
  control_plane_subnet_ids = ["subnet-1", "subnet-2", "subnet-3"]
  node_subnet_ids          = ["subnet-4", "subnet-5", "subnet-6"]
  client_cidrs             = ["10.15.0.0/24"]
}

run "private" {
  assert {
    condition     = one(aws_eks_cluster.this.vpc_config).endpoint_private_access && !one(aws_eks_cluster.this.vpc_config).endpoint_public_access
    error_message = "The API server has no public address, unless ranges are named."
  }
  assert {
    condition     = aws_eks_cluster.this.version == "1.35" && one(aws_eks_cluster.this.upgrade_policy).support_type == "STANDARD"
    error_message = "Extended support is not paid for."
  }
  assert {
    condition     = one(aws_eks_cluster.this.access_config).authentication_mode == "API" && !one(aws_eks_cluster.this.access_config).bootstrap_cluster_creator_admin_permissions
    error_message = "Who makes the cluster has no rights by that, and no ConfigMap gives any."
  }
  assert {
    condition     = one(aws_eks_cluster.this.encryption_config).resources == toset(["secrets"]) && one(one(aws_eks_cluster.this.encryption_config).provider).key_arn == aws_kms_key.secrets.arn && aws_kms_key.secrets.enable_key_rotation
    error_message = "Secrets are encrypted by a key of ours, which is rotated."
  }
  assert {
    condition     = length(aws_eks_cluster.this.enabled_cluster_log_types) == 5 && aws_cloudwatch_log_group.control_plane.name == "/aws/eks/dev/cluster" && aws_cloudwatch_log_group.control_plane.retention_in_days == 14
    error_message = "The control plane logs all it can, into a group that is ours."
  }
  assert {
    condition     = keys(aws_vpc_security_group_ingress_rule.clients)[0] == "10.15.0.0/24" && aws_vpc_security_group_ingress_rule.clients["10.15.0.0/24"].from_port == 443
    error_message = "Peers that reach services reach the API server, by HTTPS alone."
  }
  assert {
    condition     = aws_ec2_tag.discovery.key == "karpenter.sh/discovery" && aws_ec2_tag.discovery.value == "dev"
    error_message = "Karpenter finds the nodes' security group."
  }
}

run "nodes" {
  assert {
    condition     = one(aws_eks_node_group.system.taint).key == "CriticalAddonsOnly" && one(aws_eks_node_group.system.taint).effect == "NO_SCHEDULE"
    error_message = "What is not needed for nodes is not on the nodes that need none."
  }
  assert {
    condition     = aws_eks_node_group.system.ami_type == "BOTTLEROCKET_ARM_64" && aws_eks_node_group.system.capacity_type == "ON_DEMAND"
    error_message = "The image is of the instance types' architecture, and no node is taken away."
  }
  assert {
    condition     = one(aws_launch_template.system.metadata_options).http_tokens == "required" && one(aws_launch_template.system.metadata_options).http_put_response_hop_limit == 1
    error_message = "No pod reaches the node's credentials."
  }
  assert {
    condition     = alltrue([for disk in aws_launch_template.system.block_device_mappings : one(disk.ebs).encrypted == "true"]) && join(",", [for disk in aws_launch_template.system.block_device_mappings : "${disk.device_name} ${one(disk.ebs).volume_size}"]) == "/dev/xvda 4,/dev/xvdb 40"
    error_message = "Disks are encrypted; Bottlerocket's second one holds what grows."
  }
  assert {
    condition     = join(",", keys(aws_iam_role_policy_attachment.system_node)) == "AmazonEC2ContainerRegistryPullOnly,AmazonEKSWorkerNodePolicy,AmazonSSMManagedInstanceCore"
    error_message = "Nodes join and pull; they neither address pods nor attach disks."
  }
}

run "addons" {
  assert {
    condition     = { for name, addon in merge(aws_eks_addon.before_nodes, aws_eks_addon.on_nodes) : name => addon.addon_version } == { for name, version in var.addons : name => version }
    error_message = "Each add-on is of the version that is pinned."
  }
  assert {
    condition     = jsondecode(aws_eks_addon.before_nodes["vpc-cni"].configuration_values).enableNetworkPolicy == "true"
    error_message = "Network policies are enforced."
  }
  assert {
    condition = alltrue([
      for values in [
        jsondecode(aws_eks_addon.on_nodes["coredns"].configuration_values),
        jsondecode(aws_eks_addon.on_nodes["metrics-server"].configuration_values),
        jsondecode(aws_eks_addon.on_nodes["aws-ebs-csi-driver"].configuration_values).controller,
      ] : values.tolerations[0].key == "CriticalAddonsOnly" && values.tolerations[0].operator == "Exists"
    ])
    error_message = "What is no DaemonSet runs on the managed nodes."
  }
  assert {
    condition = alltrue([
      for association, role in { vpc_cni = aws_iam_role.vpc_cni, ebs_csi = aws_iam_role.ebs_csi } :
      jsondecode(role.assume_role_policy).Statement[0].Condition.StringEquals["aws:RequestTag/kubernetes-namespace"] == "kube-system"
    ]) && aws_eks_pod_identity_association.vpc_cni.service_account == "aws-node" && aws_eks_pod_identity_association.ebs_csi.service_account == "ebs-csi-controller-sa"
    error_message = "Add-ons have roles of their own, for their accounts alone."
  }
}

run "access" {
  variables {
    admin_role_arns = { cluster-admin = "arn:aws:iam::123456789012:role/dev-tenantry-cluster-admin" }
    node_role_arns  = { karpenter = "arn:aws:iam::123456789012:role/dev-tenantry-karpenter-node" }

    permissions_boundary = "arn:aws:iam::123456789012:policy/dev-tenantry-boundary"
  }
  assert {
    condition = join(",", sort([for entry in aws_eks_access_entry.people : "${split("/", entry.principal_arn)[1]} ${one(entry.kubernetes_groups)}"])) == join(",", [
      "dev-tenantry-cluster-admin tenantry:admins", "operator tenantry:operators", "viewer tenantry:viewers",
    ])
    error_message = "Each has one entry, and one group."
  }
  assert {
    condition = join(",", sort([for one in aws_eks_access_policy_association.people : "${split("/", one.principal_arn)[1]} ${split("/", one.policy_arn)[1]}"])) == join(",", [
      "dev-tenantry-cluster-admin AmazonEKSClusterAdminPolicy", "operator AmazonEKSViewPolicy", "viewer AmazonEKSViewPolicy",
    ])
    error_message = "Only admins are administrators."
  }
  assert {
    condition     = aws_eks_access_entry.nodes["karpenter"].type == "EC2_LINUX"
    error_message = "Karpenter's nodes join."
  }
  assert {
    condition     = alltrue([for role in [aws_iam_role.control_plane, aws_iam_role.system_node, aws_iam_role.vpc_cni, aws_iam_role.ebs_csi] : role.permissions_boundary == "arn:aws:iam::123456789012:policy/dev-tenantry-boundary"])
    error_message = "No role may do what the boundary forbids."
  }
}

run "public_for_those_named" {
  variables {
    kubernetes = {
      version             = "1.35"
      service_cidr        = "172.20.0.0/16"
      public_access_cidrs = ["192.0.2.0/24"]
      log_days            = 14
      viewers             = []
      operators           = []
    }
    system_nodes = { image = "al2023", instance_types = ["m7i.large"], minimum = 2, maximum = 2, volume_gib = 30 }
  }
  assert {
    condition     = one(aws_eks_cluster.this.vpc_config).endpoint_public_access && one(aws_eks_cluster.this.vpc_config).endpoint_private_access && one(aws_eks_cluster.this.vpc_config).public_access_cidrs == toset(["192.0.2.0/24"])
    error_message = "The public address is for the ranges that are named, beside the private one."
  }
  assert {
    condition     = aws_eks_node_group.system.ami_type == "AL2023_x86_64_STANDARD" && join(",", [for disk in aws_launch_template.system.block_device_mappings : disk.device_name]) == "/dev/xvda"
    error_message = "Amazon Linux has one disk."
  }
}

run "what_is_none" {
  command         = plan
  expect_failures = [var.environment, var.kubernetes, var.addons]
  variables {
    environment = "dev-1"
    addons      = { coredns = "v1.13.2-eksbuild.1" }
    kubernetes = {
      version             = "1.35"
      service_cidr        = "172.20.0.0/16"
      public_access_cidrs = ["0.0.0.0/0"]
      log_days            = 14
      viewers             = []
      operators           = []
    }
  }
}
