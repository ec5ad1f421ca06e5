variable "environment" {
  description = "The environment's name, and the cluster's."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{0,19}$", var.environment))
    error_message = "environment: a lower-case letter, then at most 19 lower-case letters and digits; no hyphen."
  }
}

variable "kubernetes" {
  description = "Version, service range, who reaches the public endpoint (empty: there is none), how long logs are kept, and who sees it: ARNs of IAM roles or users."
  nullable    = false
  type = object({
    version             = string
    service_cidr        = string
    public_access_cidrs = list(string)
    log_days            = number
    viewers             = list(string)
    operators           = list(string)
  })

  validation {
    condition     = !anytrue([for range in var.kubernetes.public_access_cidrs : endswith(range, "/0")])
    error_message = "kubernetes.public_access_cidrs: /0 is everybody."
  }
}

variable "addons" {
  description = "Amazon's own add-ons by name, with their versions: vpc-cni, coredns, kube-proxy, eks-pod-identity-agent, aws-ebs-csi-driver, metrics-server."
  type        = map(string)
  nullable    = false

  validation {
    condition     = length(setsubtract(local.addon_names, keys(var.addons))) == 0
    error_message = "addons: missing: ${join(", ", sort(setsubtract(local.addon_names, keys(var.addons))))}."
  }
}

variable "system_nodes" {
  description = "The managed node group: bottlerocket or al2023, instance types of one architecture, how many, and their disks."
  nullable    = false
  type = object({
    image          = string
    instance_types = list(string)
    minimum        = number
    maximum        = number
    volume_gib     = number
  })
}

variable "control_plane_subnet_ids" {
  description = "Where the control plane has its interfaces: subnets without the internet, one a zone."
  type        = list(string)
  nullable    = false
}

variable "node_subnet_ids" {
  description = "Where nodes are: private subnets, one a zone."
  type        = list(string)
  nullable    = false
}

variable "client_cidrs" {
  description = "Ranges outside the VPC that reach the private endpoint: peers that reach services."
  type        = list(string)
  default     = []
  nullable    = false
}

variable "admin_role_arns" {
  description = "Roles of the environment that administer the cluster, by a name that is known before they are made."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "node_role_arns" {
  description = "Roles of nodes that others than EKS make, such as Karpenter's, by a name that is known before they are made."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "permissions_boundary" {
  description = "ARN of the policy beyond which no role of the environment may do anything. Null: there is none."
  type        = string
  default     = null
}
