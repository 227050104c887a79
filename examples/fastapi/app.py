"""A chat endpoint in FastAPI that streams its answer as server-sent events, token by token, the way language models do.

The "model" is a table; what matters is the way of a token from here to the browser.
"""

import asyncio
import contextlib
import json

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

ANSWERS = {"ebb": "Capacity and cost ebb to zero with the traffic."}  # loaded once, in the zygote


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI):
    app.state.served = 0  # each instance has its own
    yield


app = FastAPI(title="chat", lifespan=lifespan)


class Question(BaseModel):
    prompt: str = Field(min_length=1, max_length=1000)
    delay_ms: int = Field(default=20, ge=0, le=1000)


@app.get("/")
async def about(request: Request):
    return {"ask": str(request.url_for("chat")), "served": app.state.served}


async def events(question: Question):
    for token in ANSWERS.get(question.prompt.lower(), f"You said: {question.prompt}").split():
        yield f"data: {json.dumps({'token': token})}\n\n"
        await asyncio.sleep(question.delay_ms / 1000)
    yield "data: [DONE]\n\n"


@app.post("/chat")
async def chat(question: Question):
    app.state.served += 1
    return StreamingResponse(events(question), media_type="text/event-stream")


@app.get("/known/{prompt}")
def known(prompt: str):  # not async: FastAPI runs it on a thread
    if prompt not in ANSWERS:
        raise HTTPException(404, f"nothing is known of {prompt}")
    return {"answer": ANSWERS[prompt]}


@app.get("/fails")
async def fails():
    raise RuntimeError("this is what a bug looks like")
