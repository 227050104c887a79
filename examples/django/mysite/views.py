import logging

from django.contrib import messages
from django.http import JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

log = logging.getLogger(__name__)


def book(request):
    return render(request, "book.html")


@require_POST
def sign(request):
    name = request.POST.get("name", "").strip()[:80] or "nobody"
    log.info("signed by %s", name)
    messages.info(request, f"Hello, {name}")
    return redirect("book")


def square(request, number):
    return JsonResponse({"number": number, "square": number * number})


def fails(request):
    raise RuntimeError("this is what a bug looks like")
