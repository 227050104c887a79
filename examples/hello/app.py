"""The smallest function: greets whoever is named in the query, ?name=Ada."""


def handler(event, context):
    name = (event.get("queryStringParameters") or {}).get("name") or "world"
    print("greeting", name)
    return {"message": f"hello, {name}"}
