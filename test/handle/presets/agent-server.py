"""What an OpenHands agent server is to whoever starts it: a FastAPI application under uvicorn."""
import os
import sys

import uvicorn
from fastapi import FastAPI

app = FastAPI(title="OpenHands Agent Server")


@app.get("/server_info")
def server_info():
    return {
        "title": app.title,
        "version": os.environ.get("STANDIN_VERSION", "1.4.0"),
        "pid": os.getpid(),
        "runtime": os.environ.get("RUNTIME"),
        "guard": os.environ.get("HOLDFAST_MANAGED"),
        "directory": os.getcwd(),
        "arguments": sys.argv[1:],
    }


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["OPENHANDS_SERVER_PORT"]), log_level="warning")
