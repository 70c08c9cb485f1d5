"""A user model as far from Django's as it may be."""

from __future__ import annotations

import uuid

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.db import models


class Member(AbstractBaseUser):
    """Named by an e-mail address, with a UUID as its primary key, without ``last_login``."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    email = models.EmailField(unique=True)
    full_name = models.CharField(max_length=20)
    last_login = None

    objects = BaseUserManager()

    USERNAME_FIELD = "email"


class Tenant(AbstractBaseUser):
    """Of whom no two have one e-mail address, and of whom not all have one."""

    username = models.CharField(max_length=20, unique=True)
    email = models.EmailField(unique=True, null=True)
    last_name = models.ForeignKey(Member, models.CASCADE, null=True)

    objects = BaseUserManager()

    USERNAME_FIELD = "username"


class Numbered(AbstractBaseUser):
    """Known by a number."""

    number = models.IntegerField(unique=True)

    objects = BaseUserManager()

    USERNAME_FIELD = "number"
