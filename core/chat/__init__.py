"""Chat models: one async protocol, and a client for every server with the OpenAI chat API."""

from fogline.core.chat.client import OpenAIChatModel
from fogline.core.chat.messages import ChatModel, ChatPiece, ChatReply, ChatRequest, Message, ToolCall
from fogline.core.chat.meter import Meter

__all__ = [
    "ChatModel",
    "ChatPiece",
    "ChatReply",
    "ChatRequest",
    "Message",
    "Meter",
    "OpenAIChatModel",
    "ToolCall",
]
