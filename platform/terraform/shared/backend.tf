# The bucket is made by platform/bootstrap, and is named when the root is initialised:
#   terraform init -backend-config=bucket=tenantry-state-<account>-<region> \
#     -backend-config=key=shared.tfstate -backend-config=region=<region>
terraform {
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}
