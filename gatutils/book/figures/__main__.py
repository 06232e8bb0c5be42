"""Print the style sheet that defines the role colours."""

from gatutils.book.figures.core import style_sheet

if __name__ == "__main__":
    print(style_sheet(), end="")
