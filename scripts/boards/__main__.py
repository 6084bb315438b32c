"""Write dashboards/*.json anew."""

from scripts.boards.written import texts

for path, text in texts().items():
    path.write_text(text)
