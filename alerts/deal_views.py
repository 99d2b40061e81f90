from django.http import HttpRequest, HttpResponse


def deal_page(request: HttpRequest, pk: int) -> HttpResponse:
    return HttpResponse("")
