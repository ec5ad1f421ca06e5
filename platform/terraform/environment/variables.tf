# The variables file, platform/environments/<environment>.tfvars, is the only place where a value of
# an environment is set: so nothing here has a default, and a file says all. Rules that are about one
# value, or a few, stand here; those that have to be worked out first are in rules.tf. tenantry_cloud
# refuses the same files in the same words.

variable "environment" {
  description = "The environment's name: the first part of every name, and the value of the tag tenantry:environment."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{0,19}$", var.environment))
    error_message = "environment: a lower-case letter, then at most 19 lower-case letters and digits; no hyphen, with which two environments could make the same name."
  }
  validation {
    condition     = var.environment != "shared"
    error_message = "environment: shared is what the account's environments share, and the name of none."
  }
}

variable "region" {
  description = "The AWS region."
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
  description = "Whether AWS refuses to delete the registry's table. `make destroy` takes it off, when no tenant is left."
  type        = bool
  nullable    = false
}

variable "tags" {
  description = "More tags for every resource, such as a cost centre."
  type        = map(string)
  nullable    = false

  validation {
    condition     = !anytrue([for key in keys(var.tags) : startswith(lower(key), "tenantry:") || startswith(lower(key), "aws:")])
    error_message = "tags: keys under tenantry: decide about access and are set by the modules; those under aws: are Amazon's."
  }
  validation {
    condition     = length(var.tags) <= 40
    error_message = "tags: at most 40, of the 50 that a resource can have."
  }
  validation {
    condition     = alltrue([for key, value in var.tags : can(regex("^[\\p{L}\\p{N}\\p{Z}_.:/=+@-]{1,128}$", key)) && can(regex("^[\\p{L}\\p{N}\\p{Z}_.:/=+@-]{0,256}$", value))])
    error_message = "tags: keys have 1 to 128 characters and values at most 256: letters, digits, spaces and _ . : / = + - @."
  }
}

variable "network" {
  description = "The VPC: its range, of which subnets are made, its zones, how it reaches the internet, the endpoints of AWS in it, and its peers."
  nullable    = false
  type = object({
    cidr                = string
    zones               = list(string)
    nat                 = string
    interface_endpoints = list(string)
    flow_log_days       = number
    # By the value of the VPC's tag tenantry:vpc, unless vpc_id says which it is. There, route tables
    # that have this tag lead here; Gitea is in the one that is called shared.
    peers = map(object({
      cidr             = string
      vpc_id           = string
      reaches_services = bool
    }))
  })

  validation {
    condition     = try(cidrnetmask(var.network.cidr) != "" && cidrsubnet(var.network.cidr, 0, 0) == var.network.cidr && contains([16, 17, 18], tonumber(split("/", var.network.cidr)[1])), false)
    error_message = "network.cidr: an IPv4 range from /16 to /18, written by its first address, such as 10.16.0.0/16."
  }
  validation {
    condition     = length(distinct(var.network.zones)) == 3 && length(var.network.zones) == 3
    error_message = "network.zones: exactly three, all different."
  }
  validation {
    condition     = alltrue([for zone in var.network.zones : can(regex("^${var.region}[a-z]$", zone))])
    error_message = "network.zones: zones of the region, by its name and a letter, such as ${var.region}a."
  }
  validation {
    condition     = contains(["one", "zone"], var.network.nat)
    error_message = "network.nat: one, for the whole VPC, or zone, for one in each."
  }
  validation {
    condition     = length(setsubtract(var.network.interface_endpoints, keys(local.endpoints))) == 0
    error_message = "network.interface_endpoints: unknown: ${join(", ", sort(setsubtract(var.network.interface_endpoints, keys(local.endpoints))))}. Known are ${join(", ", keys(local.endpoints))}."
  }
  validation {
    condition     = length(setsubtract(["dynamodb", "sqs", "sts"], var.network.interface_endpoints)) == 0
    error_message = "network.interface_endpoints: dynamodb, sqs and sts are needed: tenants' pods reach AWS at endpoints and nowhere else."
  }
  validation {
    condition     = contains(local.log_days, var.network.flow_log_days)
    error_message = "network.flow_log_days: as many as CloudWatch knows: ${join(", ", local.log_days)}."
  }
  validation {
    condition     = alltrue([for name in keys(var.network.peers) : can(regex("^[a-z][a-z0-9-]{0,30}$", name)) && name != "workstation" && name != var.environment])
    error_message = "network.peers: named by a lower-case letter, then at most 30 lower-case letters, digits and hyphens; the environment is no peer of its own, and the workstation is one already."
  }
  validation {
    condition     = alltrue([for peer in values(var.network.peers) : try(cidrnetmask(peer.cidr) != "" && cidrsubnet(peer.cidr, 0, 0) == peer.cidr && tonumber(split("/", peer.cidr)[1]) >= 16 && tonumber(split("/", peer.cidr)[1]) <= 28, false)])
    error_message = "network.peers: each cidr is an IPv4 range from /16 to /28, written by its first address."
  }
  validation {
    condition     = alltrue([for peer in values(var.network.peers) : peer.vpc_id == null || can(regex("^vpc-[0-9a-f]{8,17}$", peer.vpc_id))])
    error_message = "network.peers: each vpc_id is vpc- and hexadecimal digits, or null: then the VPC is found by its tag tenantry:vpc."
  }
}

variable "workstation" {
  description = "The machine that applies all this, in a VPC of its own that is peered. Null: there is none."
  type = object({
    cidr          = string
    instance_type = string
    volume_gib    = number
    idle_minutes  = number
  })

  validation {
    condition     = var.workstation == null || try(cidrnetmask(var.workstation.cidr) != "" && cidrsubnet(var.workstation.cidr, 0, 0) == var.workstation.cidr && tonumber(split("/", var.workstation.cidr)[1]) >= 16 && tonumber(split("/", var.workstation.cidr)[1]) <= 27, false)
    error_message = "workstation.cidr: an IPv4 range from /16 to /27, written by its first address."
  }
  validation {
    condition     = var.workstation == null || can(regex(local.instance_type, var.workstation.instance_type))
    error_message = "workstation.instance_type: an EC2 instance type, such as m7i.large."
  }
  validation {
    condition     = var.workstation == null || !can(regex(local.graviton, var.workstation.instance_type))
    error_message = "workstation.instance_type: no Graviton: its programs are for x86-64."
  }
  validation {
    condition     = var.workstation == null || try(var.workstation.volume_gib >= 30 && var.workstation.volume_gib <= 1000 && floor(var.workstation.volume_gib) == var.workstation.volume_gib, false)
    error_message = "workstation.volume_gib: a whole number from 30 to 1,000."
  }
  validation {
    condition     = var.workstation == null || try(var.workstation.idle_minutes >= 15 && var.workstation.idle_minutes <= 1440 && floor(var.workstation.idle_minutes) == var.workstation.idle_minutes, false)
    error_message = "workstation.idle_minutes: a whole number from 15 to 1,440, after which it stops itself."
  }
}

variable "kubernetes" {
  description = "The cluster: its version, who reaches its API server, and who may do what there."
  nullable    = false
  type = object({
    version             = string
    service_cidr        = string
    public_access_cidrs = list(string)
    log_days            = number
    admins              = list(string)
    viewers             = list(string)
    operators           = list(string)
  })

  validation {
    condition     = contains(keys(local.compatibility.kubernetes), var.kubernetes.version)
    error_message = "kubernetes.version: ${var.kubernetes.version} is not supported. compatibility.json has ${join(", ", keys(local.compatibility.kubernetes))}."
  }
  validation {
    # As EKS takes it: of RFC 1918, from /12 to /24.
    condition = try(
      cidrsubnet(var.kubernetes.service_cidr, 0, 0) == var.kubernetes.service_cidr
      && tonumber(split("/", var.kubernetes.service_cidr)[1]) >= 12 && tonumber(split("/", var.kubernetes.service_cidr)[1]) <= 24
      && anytrue([for private in ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"] : cidrhost("${split("/", var.kubernetes.service_cidr)[0]}/${split("/", private)[1]}", 0) == split("/", private)[0]]),
    false)
    error_message = "kubernetes.service_cidr: a private IPv4 range from /12 to /24, written by its first address, such as 172.20.0.0/16."
  }
  validation {
    condition     = alltrue([for range in var.kubernetes.public_access_cidrs : can(cidrhost(range, 0)) && !endswith(range, "/0")])
    error_message = "kubernetes.public_access_cidrs: ranges of people whom you know, such as 192.0.2.0/24; /0 is everybody. Empty: from the VPC and its peers only."
  }
  validation {
    condition     = length(var.kubernetes.public_access_cidrs) <= 40
    error_message = "kubernetes.public_access_cidrs: at most 40, as EKS has it."
  }
  validation {
    condition     = contains(local.log_days, var.kubernetes.log_days)
    error_message = "kubernetes.log_days: as many as CloudWatch knows: ${join(", ", local.log_days)}."
  }
  validation {
    condition     = alltrue([for who in concat(var.kubernetes.admins, var.kubernetes.viewers, var.kubernetes.operators) : can(regex("^arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/[A-Za-z0-9+=,.@_/-]+$", who))])
    error_message = "kubernetes: admins, viewers and operators are ARNs of IAM roles or users: arn:aws:iam::123456789012:role/name."
  }
  validation {
    condition     = length(join(",", var.kubernetes.admins)) + 2 * length(var.kubernetes.admins) <= 1900
    error_message = "kubernetes.admins: too many: together they have at most 1,900 characters, as the trust policy of a role takes them; name a role that all of them assume."
  }
  validation {
    condition     = length(distinct(concat(var.kubernetes.admins, var.kubernetes.viewers, var.kubernetes.operators))) == length(concat(var.kubernetes.admins, var.kubernetes.viewers, var.kubernetes.operators))
    error_message = "kubernetes: nobody stands twice in admins, viewers and operators: EKS has one access entry for each."
  }
  validation {
    condition     = var.workstation == null || length(var.kubernetes.public_access_cidrs) == 0
    error_message = "kubernetes.public_access_cidrs: not with a workstation: where the API server is public its peers reach it by its public address, and the workstation's own is another after each start."
  }
  validation {
    condition     = var.workstation != null || length(var.kubernetes.public_access_cidrs) > 0 || anytrue([for peer in values(var.network.peers) : peer.reaches_services])
    error_message = "kubernetes: nobody would reach the API server: name a workstation, a peer that reaches_services, or public_access_cidrs."
  }
}

variable "addons" {
  description = "What the cluster has beside Kubernetes, by the names of compatibility.json: each one's version, and whether it is on."
  nullable    = false
  type = map(object({
    version = string
    enabled = bool
  }))

  validation {
    condition     = length(setsubtract(keys(var.addons), keys(local.compatibility.addons))) == 0
    error_message = "addons: unknown: ${join(", ", sort(setsubtract(keys(var.addons), keys(local.compatibility.addons))))}. compatibility.json has all."
  }
  validation {
    condition     = length(setsubtract(keys(local.compatibility.addons), keys(var.addons))) == 0
    error_message = "addons: not said whether on or off: ${join(", ", sort(setsubtract(keys(local.compatibility.addons), keys(var.addons))))}."
  }
  validation {
    condition = alltrue([
      for name, addon in var.addons :
      can(regex(try(local.compatibility.addons[name].installed_by, "") == "eks" ? "^v${local.release}-eksbuild[.][0-9]{1,3}$" : "^${local.release}$", addon.version))
    ])
    error_message = "addons: a version is exact: 1.2.3, and v1.2.3-eksbuild.1 of Amazon's own (${join(", ", [for name, addon in local.compatibility.addons : name if addon.installed_by == "eks"])})."
  }
  validation {
    condition     = alltrue([for name, addon in var.addons : addon.enabled || !try(local.compatibility.addons[name].needed, false)])
    error_message = "addons: every environment needs ${join(", ", [for name, addon in var.addons : name if !addon.enabled && try(local.compatibility.addons[name].needed, false)])}: it cannot be off."
  }
  validation {
    condition = alltrue(flatten([
      for name, addon in var.addons : [for other in try(local.compatibility.addons[name].needs, []) : !addon.enabled || try(var.addons[other].enabled, false)]
    ]))
    error_message = "addons: ${join("; ", flatten([
      for name, addon in var.addons : [for other in try(local.compatibility.addons[name].needs, []) : "${name} needs ${other}, which is off" if addon.enabled && !try(var.addons[other].enabled, false)]
    ]))}."
  }
  validation {
    condition     = !try(var.addons["external-dns"].enabled, false) || var.domain.zone_id != null
    error_message = "addons: external-dns needs domain.zone_id, the zone in which it makes names."
  }
}
