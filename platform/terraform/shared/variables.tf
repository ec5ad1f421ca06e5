# platform/environments/shared.tfvars is the only place where a value is set: so nothing here has a
# default. What a value may be is said by the module that takes it; what goes together, in rules.tf.

variable "region" {
  description = "The AWS region, of the environments, too: they peer with the network here."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "region: the name of an AWS region, such as eu-central-1."
  }
}

variable "account" {
  description = "The AWS account, in which alone the file is applied. Null: the one that the credentials are of."
  type        = string

  validation {
    condition     = var.account == null || can(regex("^[0-9]{12}$", var.account))
    error_message = "account: twelve digits in quotes, or null."
  }
}

variable "protected" {
  description = "Whether AWS refuses to delete Gitea's load balancer, and a data volume that goes leaves a last snapshot."
  type        = bool
  nullable    = false
}

variable "makes_spot_role" {
  description = "Whether EC2's role for Spot (AWSServiceRoleForEC2Spot) is made here. False: the account has it, as any has that ever started a Spot machine."
  type        = bool
  nullable    = false
}

variable "tags" {
  description = "Tags for every resource, such as a cost centre."
  type        = map(string)
  nullable    = false

  validation {
    condition     = length(var.tags) <= 40 && !anytrue([for key in keys(var.tags) : startswith(lower(key), "tenantry:") || startswith(lower(key), "aws:")])
    error_message = "tags: at most 40; keys under tenantry: decide about access and are set by the modules, those under aws: are Amazon's."
  }
}

variable "network" {
  description = "The VPC: its range, its three zones, how it reaches the internet, the endpoints of AWS in it."
  nullable    = false
  type = object({
    cidr                = string
    zones               = list(string)
    nat                 = string
    interface_endpoints = list(string)
    flow_log_days       = number
  })

  validation {
    condition     = alltrue([for zone in var.network.zones : can(regex("^${var.region}[a-z]$", zone))])
    error_message = "network.zones: zones of the region, by its name and a letter, such as ${var.region}a."
  }
}

variable "clients" {
  description = "Who reaches Gitea: ranges of environments and of VPCs that people work in."
  type        = list(string)
  nullable    = false
}

variable "address" {
  description = "Gitea's name, and either the public zone in which its certificate and record are made, or a certificate that is there."
  type        = object({ host = string, zone_id = string, certificate_arn = string })
  nullable    = false
}

variable "gitea" {
  description = "Gitea's version, machine and data volume."
  nullable    = false
  type = object({
    version       = string
    sha256        = string
    image         = string
    instance_type = string
    volume_gib    = number
    restore_from  = string
  })
}

variable "snapshots" {
  description = "Of Gitea's data volume: one every so many hours, and how many are kept."
  type        = object({ hours = number, kept = number })
  nullable    = false
}

variable "git" {
  description = "Whose repositories are developers', which they are, and where releases are built."
  type        = object({ organization = string, repositories = list(string), release = string })
  nullable    = false
}

variable "runners" {
  description = "What runs workflows."
  nullable    = false
  type = object({
    version       = string
    sha256        = string
    lifetime_days = number
    programs = object({
      kubectl   = object({ version = string, sha256 = string })
      terraform = object({ version = string, sha256 = string })
      cosign    = object({ version = string, sha256 = string })
    })
    provider = object({ version = string, sha256 = object({ amd64 = string, arm64 = string }) })
    ci       = object({ image = string, machines = number, instance_type = string, volume_gib = number, packages = list(string) })
    release  = object({ image = string, machines = number, instance_type = string, volume_gib = number, packages = list(string) })
  })
}

variable "registry" {
  description = "ECR: the first part of repositories' names, other accounts that pull, and what is kept."
  nullable    = false
  type = object({
    prefix             = string
    reader_accounts    = list(string)
    development_builds = number
  })
}
