"""A model of 200 MB in millions of small Python objects: the hard case for a fork, since no library asks for huge pages."""

table = [(number, str(number)) for number in range(1_400_000)]


def handler(event, context):
    return {"answer": table[len(table) // 3][1]}
