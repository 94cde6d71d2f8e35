"""What every page is made of: who is signed in, forms, lists, rendering."""
