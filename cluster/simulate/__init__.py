"""Requests one by one at the places of a node: what closed forms and placements are judged by."""
