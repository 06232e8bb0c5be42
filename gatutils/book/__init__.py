"""What only the book needs: figures, tasks, experiments, stored results and the command for them.

The library never imports it.
"""
