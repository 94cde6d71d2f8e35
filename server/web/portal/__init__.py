"""The portal: pages for partners, admins and auditors. It takes sessions only, and decides nothing."""
