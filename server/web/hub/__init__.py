"""The Hugging Face client's protocol: its addresses and its words, over the same rules as every other door."""
