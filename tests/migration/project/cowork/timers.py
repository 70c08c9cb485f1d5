from django.urls import reverse


def timer_url():
    return reverse('api_timer')
