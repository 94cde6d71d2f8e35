"""What people are told outside the portal: the notices, and the mails that wait to be sent."""
