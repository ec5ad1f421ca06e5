variable "name" {
  description = "The environment's name, or shared: the first part of every name, and the value of the VPC's tag tenantry:vpc."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9]{0,19}$", var.name))
    error_message = "name: a lower-case letter, then at most 19 lower-case letters and digits."
  }
}

variable "cidr" {
  description = "The VPC's IPv4 range, from /16 to /18. Nine subnets are made of it."
  type        = string
  nullable    = false

  validation {
    condition     = try(cidrnetmask(var.cidr) != "" && cidrsubnet(var.cidr, 0, 0) == var.cidr && contains([16, 17, 18], tonumber(split("/", var.cidr)[1])), false)
    error_message = "cidr: an IPv4 range from /16 to /18, written by its first address."
  }
}

variable "zones" {
  description = "Three zones of the region. Their order is that of the subnets' ranges: another one makes them all anew."
  type        = list(string)
  nullable    = false

  validation {
    condition     = length(distinct(var.zones)) == 3 && length(var.zones) == 3
    error_message = "zones: exactly three, all different."
  }
}

variable "nat" {
  description = "one: a NAT gateway in the first zone, for all. zone: one in each, so that no zone needs another."
  type        = string
  nullable    = false

  validation {
    condition     = contains(["one", "zone"], var.nat)
    error_message = "nat: one or zone."
  }
}

variable "interface_endpoints" {
  description = "Services of AWS with an interface endpoint, by their names in endpoints.json. S3 and DynamoDB have a gateway endpoint in any case."
  type        = set(string)
  nullable    = false

  validation {
    condition     = length(setsubtract(var.interface_endpoints, keys(local.known_endpoints))) == 0
    error_message = "interface_endpoints: unknown: ${join(", ", sort(setsubtract(var.interface_endpoints, keys(local.known_endpoints))))}. endpoints.json has all."
  }
}

variable "flow_log_days" {
  description = "How long flow logs are kept."
  type        = number
  nullable    = false
}

variable "peers" {
  description = "VPCs of this account and region to peer with. They are found by the value of their tag tenantry:vpc, unless vpc_id says which. Of those that reach services, endpoints let them in and their names resolve there."
  nullable    = false
  default     = {}
  type = map(object({
    cidr             = string
    tag              = string
    vpc_id           = optional(string)
    reaches_services = optional(bool, false)
  }))
}

variable "cluster_name" {
  description = "The EKS cluster that will be in the VPC, whose controllers find subnets by tags. Null: none will."
  type        = string
  default     = null
}

variable "permissions_boundary" {
  description = "ARN of the policy beyond which no role may do anything. Null: there is none."
  type        = string
  default     = null
}
