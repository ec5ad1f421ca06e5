variable "environment" {
  description = "The environment's name: the first part of every name, and the value of the tag tenantry:environment."
  type        = string
  nullable    = false

  validation {
    # Without a hyphen, so that no environment's names can begin with another's.
    condition     = can(regex("^[a-z][a-z0-9]{0,19}$", var.environment))
    error_message = "environment: a lower-case letter, then at most 19 lower-case letters and digits; no hyphen."
  }
}

variable "cluster_name" {
  description = "The environment's EKS cluster. Sessions of any other cluster open nothing."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[0-9A-Za-z][0-9A-Za-z_-]{0,99}$", var.cluster_name))
    error_message = "cluster_name: 1 to 100 letters, digits, hyphens and underscores, as EKS names clusters."
  }
}

variable "tags" {
  description = "Further tags of the roles, for cost and order. Those that begin with tenantry: are this module's own."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = !anytrue([for key in keys(var.tags) : startswith(lower(key), "tenantry:")])
    error_message = "tags: those that begin with tenantry: grant access, and are set by the modules alone."
  }
}
