"""User models that differ from Django's own as much as they can."""

from __future__ import annotations

import uuid

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.db import models


class Member(AbstractBaseUser):  # type: ignore[misc]
    """The username is an e-mail address, the primary key a UUID; there is no ``last_login``.

    ``is_staff`` is a property, as in the custom user of Django's documentation.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    email = models.EmailField(unique=True)
    full_name = models.CharField(max_length=20)
    last_login = None

    objects = BaseUserManager()

    USERNAME_FIELD = "email"

    @property
    def is_staff(self) -> bool:
        return False


class Tenant(AbstractBaseUser):  # type: ignore[misc]
    """E-mail addresses are unique and optional."""

    username = models.CharField(max_length=20, unique=True)
    email = models.EmailField(unique=True, null=True)
    last_name = models.ForeignKey(Member, models.CASCADE, null=True)

    objects = BaseUserManager()

    USERNAME_FIELD = "username"


class Numbered(AbstractBaseUser):  # type: ignore[misc]
    """The username is a number."""

    number = models.IntegerField(unique=True)

    objects = BaseUserManager()

    USERNAME_FIELD = "number"
