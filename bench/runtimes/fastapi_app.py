"""The program of `asgi`; uvicorn serves the same."""

import fastapi

app = fastapi.FastAPI()


@app.get("/")
async def hello():
    return {"message": "hello, world"}
