"""A Django project behind the session proxy.

Serve it with mockup logins on your machine::

    pip install "djsession[django]" djangorestframework
    export DJAODJIN_SECRET_KEY=$(djsession keygen) DEBUG=1
    python examples/django_app/manage.py migrate
    python examples/django_app/manage.py runserver

and behind the proxy, with the key of your site in the environment::

    export DJAODJIN_SECRET_KEY=... SECRET_KEY=... ALLOWED_HOSTS=www.example.com
    gunicorn -c examples/gunicorn.conf.py examples.django_app.wsgi:application
"""
