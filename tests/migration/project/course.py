from flask import Flask
from deployutils.apps.flask.sessions import Session

app = Flask(__name__)
app.config['DJAODJIN_SECRET_KEY'] = 'k3y!@#$%^*-_=+ab'
app.config['SECRET_KEY'] = 'a secret of the application'
app.config['ALLOWED_NO_SESSION'] = ['/about']
Session(app)


@app.route('/course/')
def course():
    return 'the course'
