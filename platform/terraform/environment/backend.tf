# Where the state is: in the bucket that the bootstrap stack keeps, locked by a file beside it. Bucket,
# key and region are told at init, since nothing here may be worked out.
terraform {
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}
