# What the roles of the cluster's own software are about. Nothing of it is needed by the six roles
# of the services and the runner, which are there without.

variable "addons" {
  description = "Names of the add-ons that are on: each has its roles, and no other has any."
  type        = set(string)
  default     = []
  nullable    = false
}

variable "admins" {
  description = "ARNs of the IAM roles and users that may become the cluster's admin. None: there is no such role."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for arn in var.admins : can(regex("^arn:[a-z-]+:iam::[0-9]{12}:(role|user)/[^*]+$", arn))])
    error_message = "admins: each is the ARN of one IAM role or user; no account, and no wildcard."
  }
}

variable "control_queue_arns" {
  description = "The queues of requests, by name: control, onboarding, offboarding, deployment."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = !contains(var.addons, "argo-events") || length(var.control_queue_arns) > 0
    error_message = "control_queue_arns: argo-events is on, and receives from these."
  }
}

variable "registry_table_arn" {
  description = "The registry of tenants; null: the table of the environment's own name."
  type        = string
  default     = null
}

variable "bus_arn" {
  description = "The bus that is told what came of requests; null: nobody is told."
  type        = string
  default     = null
}

variable "exports_bucket_arn" {
  description = "Where tenants that leave are exported to. Its objects are encrypted with S3's or the account's own key."
  type        = string
  default     = null

  validation {
    condition     = !contains(var.addons, "argo-workflows") || var.exports_bucket_arn != null
    error_message = "exports_bucket_arn: argo-workflows is on, and exports tenants there that leave."
  }
}

variable "state_copies" {
  description = "Where copies of tenants' Terraform states are kept: the bucket, and the key that it is encrypted with."
  type        = object({ bucket_arn = string, key_arn = string })
  default     = null

  validation {
    condition     = !contains(var.addons, "tofu-controller") || var.state_copies != null
    error_message = "state_copies: tofu-controller is on, and its states are copied there."
  }
}

variable "interruption_queue_arn" {
  description = "The queue that tells Karpenter which nodes are about to go."
  type        = string
  default     = null

  validation {
    condition     = !contains(var.addons, "karpenter") || var.interruption_queue_arn != null
    error_message = "interruption_queue_arn: karpenter is on, and receives from it."
  }
}

variable "vpc_id" {
  description = "The VPC in which the load balancers' security groups are made."
  type        = string
  default     = null

  validation {
    condition     = !contains(var.addons, "aws-load-balancer-controller") || var.vpc_id != null
    error_message = "vpc_id: aws-load-balancer-controller is on, and makes security groups there."
  }
}

variable "zone_id" {
  description = "The one hosted zone whose records external-dns writes; null: it has no role."
  type        = string
  default     = null

  validation {
    condition     = var.zone_id == null || can(regex("^Z[0-9A-Z]{1,31}$", var.zone_id))
    error_message = "zone_id: the id of a hosted zone, as Z0123456789ABCDEFGHIJ."
  }
}

variable "registry" {
  description = "Where ECR has the images and charts: account and region (null: the environment's), and what their names begin with."
  type = object({
    account = string
    region  = string
    prefix  = string
  })
  default  = { account = null, region = null, prefix = "tenantry" }
  nullable = false

  validation {
    condition     = can(regex("^[a-z0-9]+([._/-][a-z0-9]+)*$", var.registry.prefix))
    error_message = "registry.prefix: what names of repositories begin with, as tenantry; no slash at its end."
  }
}

variable "permissions_boundary" {
  description = "ARN of the policy beyond which no role may do anything; null: there is none."
  type        = string
  default     = null
}
