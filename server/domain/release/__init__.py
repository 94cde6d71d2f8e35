"""What the lab releases, and on which terms: models and stages, tiers, agreements, holds."""
