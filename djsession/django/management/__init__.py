"""Django finds the package ``commands`` here."""
