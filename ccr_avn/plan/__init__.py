"""Plans: what they are made of, how they are run and how they are printed. Knows neither Aiven nor Valkey."""
