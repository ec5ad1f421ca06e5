variable "prefix" {
  description = "First part of every repository's name."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", var.prefix)) && length(var.prefix) <= 64
    error_message = "registry.prefix: at most 64 lower-case letters, digits and single hyphens, with a letter first."
  }
}

variable "reader_accounts" {
  description = "Other accounts, whose environments pull from here."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for account in var.reader_accounts : can(regex("^[0-9]{12}$", account))])
    error_message = "registry.reader_accounts: twelve digits each."
  }
}

variable "development_builds" {
  description = "How many builds between releases (1.2.3-dev.4) are kept in each repository."
  type        = number
  nullable    = false

  validation {
    # dev follows them by itself, and goes back by a few.
    condition     = var.development_builds >= 50 && var.development_builds <= 10000 && floor(var.development_builds) == var.development_builds
    error_message = "registry.development_builds: a whole number from 50 to 10,000."
  }
}
