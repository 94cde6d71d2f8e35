"""The S3 door: what tools that speak S3 ask of a bucket that is only read, over the same rules as every other door."""
